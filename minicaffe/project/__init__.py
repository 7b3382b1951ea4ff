"""From images to a trained net: new projects, deploy nets, predictions.

A project is a folder with data, a net, a solver and a net to deploy.

    labelled_images   finds images with their classes in folders or a table
    usable_images     leaves out what cannot be used, and divides the rest
    paired_files      finds images with a file each that describes them
    boxed_images      checks images with boxes
    label_pairs       checks images with a label for each pixel
    plan              chooses sizes of batches and numbers of iterations
    net_texts         writes commented prototxts: data layers, a small net, a solver
    segmentation_net  writes a small net that gives each pixel a class
    detection_net     adapts a net that finds objects
    adapted_net       takes over a known net for other classes
    deploy_net        makes the prototxt of the net to deploy
    training_nets     finds the training net that weights belong to
    image_lists       reads lists of images as arguments of commands
    prediction        computes the scores of the classes of images
"""
