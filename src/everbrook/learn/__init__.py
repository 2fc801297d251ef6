"""everbrook.learn"""
