"""Seeing tensors, graphs and losses.  Needs the extra `viz`, except for text and HTML.

    sg.viz.draw(loss, "graph.svg")          # the graph a tensor was computed from
    sg.viz.show(weights, "weights.png")     # the values of a tensor as a picture
    sg.viz.loss_curve(losses, "loss.png")
    print(sg.viz.as_characters(digit))      # a 2-D tensor in the terminal

A face: may import everything; matplotlib and graphviz only inside functions.
"""

from .draw import draw as draw
from .embedding import embedding as embedding, principal_components as principal_components
from .html import as_html as as_html
from .pictures import as_characters as as_characters, loss_curve as loss_curve, show as show
