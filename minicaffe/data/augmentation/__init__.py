"""Augmentation of decoded images: fields of transform_param that Caffe lacks."""

# The fields of TransformationParameter that `augmenter` reads.
AUGMENTATION_FIELDS = frozenset(
    {
        *("resize_param", "noise_param"),
        *("random_resize_param", "random_aspect_ratio_param", "bgr2rgb", "pad"),
        *("img_rand_resize_lower", "img_rand_resize_upper"),
        *("rand_resize_ratio_lower", "rand_resize_ratio_upper"),
        *("vertical_stretch_lower", "vertical_stretch_upper"),
        *("horizontal_stretch_lower", "horizontal_stretch_upper"),
        *("interpolation_algo_down", "interpolation_algo_up", "allow_upscale"),
        *("enable_classf_aug", "min_scaling_factor", "max_scaling_factor", "max_rotation_angle"),
        *("contrast_brightness_adjustment", "smooth_filtering", "min_contrast", "max_contrast"),
        *("max_brightness_shift", "max_smooth", "max_color_shift", "min_side", "min_side_min"),
        *("min_side_max", "apply_probability", "cvt_bgr2rgb"),
        *("fix_crop", "more_fix_crop", "multi_scale", "scale_ratios", "max_distort"),
        *("random_resized_crop", "cutout"),
    }
)
