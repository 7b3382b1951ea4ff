"""From images to a trained classifier: new projects, deploy nets, predictions.

labelled_images   finds images with their classes in folders or a table
usable_images     leaves out what cannot be used, and divides the rest
plan              chooses sizes of batches and numbers of iterations
net_texts         writes commented prototxts: data layers, a small net, a solver
adapted_net       takes over a known net for other classes
deploy_net        makes the prototxt of the net to deploy
training_nets     finds the training net that weights belong to
image_lists       reads lists of images as arguments of commands
prediction        computes the scores of the classes of images
"""
