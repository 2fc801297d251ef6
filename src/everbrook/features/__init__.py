"""everbrook.features"""
