"""everbrook.evaluate"""
