"""From images to a trained classifier: new projects, deploy nets, predictions.

deploy_net        makes the prototxt of the net to deploy
training_nets     finds the training net that weights belong to
image_lists       reads lists of images as arguments of commands
prediction        computes the scores of the classes of images
"""
