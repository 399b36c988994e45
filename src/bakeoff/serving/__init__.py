"""Models answered for in a browser and by HTTP: `bakeoff serve`, on Gradio (extra `serve`).

asked       a classifier that many ask at once, batched
pictures    Grad-CAM and activation maps; neighbours: the nearest training photographs
answering   what the page says, as HTML (words, templates); page, look: where it stands
endpoint    the HTTP API
guard       what is let through to them; patience: slow clients; limits: of everything
server      all of it put together
"""
