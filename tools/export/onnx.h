/* SPDX-License-Identifier: MIT */
/* A network as an ONNX model. */
#ifndef TOOLS_EXPORT_ONNX_H
#define TOOLS_EXPORT_ONNX_H

#include "nn/network.h"
#include "proto.h"

/* What a model says about itself. */
struct onnx_about {
    char **class_names;
    size_t classes;
    const float *mean, *rstd; /* of the pixels, 0 to 255, of each channel of the images */
};

/* Of a network whose batch norms, activations and pools are layers of their own. Images are (N, C, H, W), normalized; N is
 * open. Tensors have the names of the network's state. NULL, or what is wrong; model->bytes are the caller's to free. */
nn_error onnx_of_network(const nn_network *network, const struct onnx_about *about, struct proto *model);

#endif
