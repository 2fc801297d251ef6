"""everbrook.state"""
