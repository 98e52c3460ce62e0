"""Fitted nets in smaller or faster forms."""
