"""What a set of sequences is worth beside a natural family: copies first, then family, columns and pairs, in words at the end.

Any tool's sequences are judged, ours or another's; nothing here knows how they were made. Metrics and their definitions are in
one file each; `standard` puts them together with controls and intervals, `verdict` puts words to them.
"""
