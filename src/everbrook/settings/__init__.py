"""everbrook.settings"""
