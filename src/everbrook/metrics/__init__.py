"""everbrook.metrics"""
