"""everbrook.models"""
