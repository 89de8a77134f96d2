"""Rewards: what judges a rollout."""
