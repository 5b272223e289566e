"""Agents that solve the glimpse environments."""
