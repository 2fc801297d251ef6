"""everbrook.rank"""
