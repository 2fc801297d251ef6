"""everbrook.engine"""
