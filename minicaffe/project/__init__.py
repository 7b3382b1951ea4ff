"""From images to a trained classifier: new projects, deploy nets, predictions.

deploy_net        writes the net to deploy of a training net
"""
