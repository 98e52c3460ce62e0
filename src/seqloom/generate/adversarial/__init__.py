"""Two nets against each other (Goodfellow et al. 2014, arXiv:1406.2661): a writer of sequences and a critic that tells
them from natural ones.

`seqloom.generate.gan` is the recipe; here are losses, penalties, nets, encodings, augmentation, the step and the sampler,
one idea
per file. Written from the papers named in each.
"""
