"""everbrook.testing"""
