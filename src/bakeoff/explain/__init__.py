"""What a net learned: weight maps, activation maps, Grad-CAM, V1 likeness, drift from its start.

Arrays are made here, `draw` and `section` show them. Free of torch are `filters`, `gabor`, `v1`,
`chosen`, `stored`, `tiles`, `draw` and `section`; the others work on a net and leave it as found.
"""
