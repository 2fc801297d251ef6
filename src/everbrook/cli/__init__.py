"""everbrook.cli"""
