"""Mutations: lists of them as the field writes them, the wild type they are told from, and families of variants.

A mutation list and a wild type make a sequence (`notation`, `wild_type`); sequences alone make families, each with a wild type
that most of its rows vouch for (`families`), and then every row is again a list of mutations.
"""
