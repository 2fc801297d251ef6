"""everbrook.http"""
