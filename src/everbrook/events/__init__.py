"""everbrook.events"""
