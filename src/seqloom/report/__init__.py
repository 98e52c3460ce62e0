"""One HTML file that shows what a run or experiment folder holds: `facts` reads it, `plots` draws, `build` puts it together."""
