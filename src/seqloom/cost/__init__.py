"""What an experiment on a large library will cost, before it is begun: time, memory, disk, and what limits it (`seqloom plan`).

Nothing is looked up in a table of machines: a few seconds of real steps are made of every net, in a process of its own (`probe`,
`steps`) and on rows of the library itself (`sample`, `packing`); what grows with the rows is computed from the code's own sizes
(`sizes`). `whole` puts together what a store costs and `net` what a net does, of every figure with where it comes from
(`figure`); `plan` is the whole of it.
"""
