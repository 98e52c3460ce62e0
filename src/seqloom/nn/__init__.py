"""Layers shared by nets. Layout is (B, L, D); masks are True where a symbol stands."""
