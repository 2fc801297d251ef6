"""everbrook.index"""
