"""Everbrook: a recommender that learns while it serves."""
