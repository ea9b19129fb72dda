// Readers of detectors' outputs for DeepStream's nvinfer, one function a layout.
//
// nvinfer loads this library (custom-lib-path) and calls the function that its configuration names
// (parse-bbox-func-name) once a picture, with that picture's output tensors. A function adds what reaches the class's
// threshold, in pixels of the network's input; clipping, suppression of overlaps and the way back to the picture are
// nvinfer's. Numbers that are not finite, and boxes without an area, never get out. A tensor of another shape than the
// layout's makes a function return false, which nvinfer reports as an error.
#if __has_include(<nvdsinfer_custom_impl.h>)
#include <nvdsinfer_custom_impl.h>
#else
#include "nvinfer_interface.h"
#endif

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <vector>

namespace {

using Layers = std::vector<NvDsInferLayerInfo>;
using Objects = std::vector<NvDsInferParseObjectInfo>;

// IEEE 754 binary16.
float from_half(uint16_t bits) {
    const int exponent = (bits >> 10) & 0x1f;
    const int fraction = bits & 0x3ff;
    const float sign = (bits & 0x8000) ? -1.0f : 1.0f;
    if (exponent == 0x1f) {
        return fraction ? std::numeric_limits<float>::quiet_NaN() : sign * std::numeric_limits<float>::infinity();
    }
    if (exponent == 0) {
        return sign * std::ldexp(static_cast<float>(fraction), -24);
    }
    return sign * std::ldexp(static_cast<float>(fraction | 0x400), exponent - 25);
}

// One output tensor, without the batch.
class Tensor {
  public:
    explicit Tensor(const NvDsInferLayerInfo &layer) : layer_(&layer) {
        size_ = 1;
        for (unsigned int index = 0; index < layer.inferDims.numDims && index < 8; ++index) {
            shape_.push_back(layer.inferDims.d[index]);
            size_ *= layer.inferDims.d[index];
        }
    }

    bool is_readable() const {
        const int type = static_cast<int>(layer_->dataType);
        return layer_->buffer != nullptr && (type == 0 || type == 1 || type == 3 || type == 4);
    }

    bool is(std::initializer_list<size_t> shape) const {
        return shape_.size() == shape.size() && std::equal(shape.begin(), shape.end(), shape_.begin());
    }

    size_t dimensions() const { return shape_.size(); }
    size_t dimension(size_t index) const { return index < shape_.size() ? shape_[index] : 0; }
    size_t size() const { return size_; }
    const NvDsInferLayerInfo &layer() const { return *layer_; }

    float operator[](size_t index) const {
        switch (static_cast<int>(layer_->dataType)) {
        case 0:
            return static_cast<const float *>(layer_->buffer)[index];
        case 1:
            return from_half(static_cast<const uint16_t *>(layer_->buffer)[index]);
        case 3:
            return static_cast<float>(static_cast<const int32_t *>(layer_->buffer)[index]);
        default:
            return static_cast<float>(static_cast<const int64_t *>(layer_->buffer)[index]);
        }
    }

  private:
    const NvDsInferLayerInfo *layer_;
    std::vector<size_t> shape_;
    size_t size_;
};

// What a layout's reader needs.
struct Context {
    float width;
    float height;
    size_t classes;
    const std::vector<float> *thresholds;
    float lowest;
    Objects *objects;

    float threshold(size_t klass) const {
        return klass < thresholds->size() ? (*thresholds)[klass] : std::numeric_limits<float>::infinity();
    }

    // Adds a box by its corners.
    void add(size_t klass, float score, float left, float top, float right, float bottom) const {
        if (klass >= classes || !(score >= threshold(klass)) || !std::isfinite(score)) {
            return;
        }
        const bool finite =
            std::isfinite(left) && std::isfinite(top) && std::isfinite(right) && std::isfinite(bottom);
        if (!finite || !(left < right) || !(top < bottom)) {
            return;
        }
        // What lies outside the input is not in the picture; nvinfer of some versions refuses it.
        left = std::min(std::max(left, 0.0f), width);
        top = std::min(std::max(top, 0.0f), height);
        right = std::min(std::max(right, 0.0f), width);
        bottom = std::min(std::max(bottom, 0.0f), height);
        if (!(left < right) || !(top < bottom)) {
            return;
        }
        NvDsInferParseObjectInfo object{};
        object.classId = static_cast<unsigned int>(klass);
        object.left = left;
        object.top = top;
        object.width = right - left;
        object.height = bottom - top;
        object.detectionConfidence = std::min(score, 1.0f);
        objects->push_back(object);
    }

    void add_centered(size_t klass, float score, float x, float y, float w, float h) const {
        add(klass, score, x - w / 2.0f, y - h / 2.0f, x + w / 2.0f, y + h / 2.0f);
    }
};

float sigmoid(float value) { return 1.0f / (1.0f + std::exp(-value)); }

// The highest of `count` values that are `step` apart; false where none is a number.
bool best(const Tensor &tensor, size_t first, size_t step, size_t count, size_t &index, float &value) {
    bool found = false;
    value = -std::numeric_limits<float>::infinity();
    for (size_t at = 0; at < count; ++at) {
        const float candidate = tensor[first + at * step];
        if (candidate > value) {
            value = candidate;
            index = at;
            found = true;
        }
    }
    return found;
}

bool context(const NvDsInferNetworkInfo &network, const NvDsInferParseDetectionParams &params, Objects &objects,
             Context &out) {
    out.width = static_cast<float>(network.width);
    out.height = static_cast<float>(network.height);
    out.classes = params.numClassesConfigured;
    out.thresholds = &params.perClassPreclusterThreshold;
    out.lowest = std::numeric_limits<float>::infinity();
    for (float threshold : params.perClassPreclusterThreshold) {
        out.lowest = std::min(out.lowest, threshold);
    }
    out.objects = &objects;
    return network.width > 0 && network.height > 0 && out.classes > 0;
}

std::vector<Tensor> outputs(const Layers &layers) {
    std::vector<Tensor> tensors;
    for (const NvDsInferLayerInfo &layer : layers) {
        if (!layer.isInput) {
            tensors.emplace_back(layer);
        }
    }
    return tensors;
}

bool refuse(const char *layout, const char *expected, const std::vector<Tensor> &tensors) {
    std::fprintf(stderr, "vision-parsers: %s expects %s, found", layout, expected);
    for (const Tensor &tensor : tensors) {
        const char *name = tensor.layer().layerName;
        std::fprintf(stderr, " %s(type %d)", name ? name : "?", static_cast<int>(tensor.layer().dataType));
        for (size_t index = 0; index < tensor.dimensions(); ++index) {
            std::fprintf(stderr, "%s%zu", index ? "x" : " ", tensor.dimension(index));
        }
    }
    std::fprintf(stderr, "\n");
    return false;
}

// The one output of `dimensions` dimensions.
const Tensor *single(const std::vector<Tensor> &tensors, size_t dimensions) {
    return tensors.size() == 1 && tensors[0].dimensions() == dimensions && tensors[0].is_readable() ? &tensors[0]
                                                                                                  : nullptr;
}

// The class of a row `x y w h objectness classes…` and its score.
bool row_score(const Context &context, const Tensor &tensor, size_t row, size_t &klass, float &score) {
    const float objectness = tensor[row + 4];
    if (!(objectness >= context.lowest)) {
        return false;
    }
    float probability = 0.0f;
    if (!best(tensor, row + 5, 1, context.classes, klass, probability)) {
        return false;
    }
    score = objectness * probability;
    return true;
}

bool parse_yolo_v5(const Context &context, const std::vector<Tensor> &tensors, const char *layout) {
    const Tensor *tensor = single(tensors, 2);
    const size_t stride = context.classes + 5;
    if (!tensor || tensor->dimension(1) != stride) {
        return refuse(layout, "Nx(5+C)", tensors);
    }
    for (size_t row = 0; row < tensor->size(); row += stride) {
        size_t klass = 0;
        float score = 0.0f;
        if (row_score(context, *tensor, row, klass, score)) {
            const Tensor &t = *tensor;
            context.add_centered(klass, score, t[row], t[row + 1], t[row + 2], t[row + 3]);
        }
    }
    return true;
}

bool parse_yolo_v8(const Context &context, const std::vector<Tensor> &tensors) {
    const Tensor *tensor = single(tensors, 2);
    if (!tensor || tensor->dimension(0) != context.classes + 4 || tensor->dimension(1) == 0) {
        return refuse("YOLOv8", "(4+C)xN", tensors);
    }
    const Tensor &t = *tensor;
    const size_t anchors = t.dimension(1);
    for (size_t anchor = 0; anchor < anchors; ++anchor) {
        size_t klass = 0;
        float score = 0.0f;
        if (best(t, 4 * anchors + anchor, anchors, context.classes, klass, score) && score >= context.lowest) {
            context.add_centered(klass, score, t[anchor], t[anchors + anchor], t[2 * anchors + anchor],
                                 t[3 * anchors + anchor]);
        }
    }
    return true;
}

// The class that a floating-point value stands for; `classes` if none.
size_t class_index(float value, size_t classes) {
    const float index = std::round(value);
    return index >= 0.0f && index < static_cast<float>(classes) ? static_cast<size_t>(index) : classes;
}

bool parse_yolo_end_to_end(const Context &context, const std::vector<Tensor> &tensors) {
    const Tensor *tensor = single(tensors, 2);
    if (!tensor || tensor->dimension(1) != 6) {
        return refuse("YOLOEndToEnd", "Nx6", tensors);
    }
    const Tensor &t = *tensor;
    for (size_t row = 0; row < t.size(); row += 6) {
        context.add(class_index(t[row + 5], context.classes), t[row + 4], t[row], t[row + 1], t[row + 2], t[row + 3]);
    }
    return true;
}

bool parse_yolox_raw(const Context &context, const std::vector<Tensor> &tensors) {
    static const size_t strides[] = {8, 16, 32, 64};
    const Tensor *tensor = single(tensors, 2);
    const size_t stride = context.classes + 5;
    const size_t width = static_cast<size_t>(context.width), height = static_cast<size_t>(context.height);
    size_t levels = 0, cells = 0;
    for (size_t level = 0; level < 4 && tensor; ++level) {
        cells += (width / strides[level]) * (height / strides[level]);
        if (level >= 2 && cells == tensor->dimension(0)) {
            levels = level + 1;
            break;
        }
    }
    if (!tensor || levels == 0 || tensor->dimension(1) != stride) {
        return refuse("YOLOXRaw", "cells x(5+C)", tensors);
    }
    const Tensor &t = *tensor;
    size_t row = 0;
    for (size_t level = 0; level < levels; ++level) {
        const float size = static_cast<float>(strides[level]);
        for (size_t line = 0; line < height / strides[level]; ++line) {
            for (size_t column = 0; column < width / strides[level]; ++column, row += stride) {
                size_t klass = 0;
                float score = 0.0f;
                if (row_score(context, t, row, klass, score)) {
                    context.add_centered(klass, score, (t[row] + static_cast<float>(column)) * size,
                                         (t[row + 1] + static_cast<float>(line)) * size, std::exp(t[row + 2]) * size,
                                         std::exp(t[row + 3]) * size);
                }
            }
        }
    }
    return true;
}

// Boxes `Nx4` or `Nx1x4`.
bool are_boxes(const Tensor &tensor) {
    return tensor.is_readable() && ((tensor.dimensions() == 2 && tensor.dimension(1) == 4) ||
                                    (tensor.dimensions() == 3 && tensor.dimension(1) == 1 && tensor.dimension(2) == 4));
}

// Boxes and scores, in whichever order they come. Where both could be boxes, the first is.
bool pair(const std::vector<Tensor> &tensors, std::initializer_list<size_t> columns, const Tensor *&boxes,
          const Tensor *&scores) {
    if (tensors.size() != 2) {
        return false;
    }
    for (size_t first = 0; first < 2; ++first) {
        const Tensor &one = tensors[first], &other = tensors[1 - first];
        for (size_t count : columns) {
            if (are_boxes(one) && other.is_readable() && other.is({one.dimension(0), count})) {
                boxes = &one;
                scores = &other;
                return true;
            }
        }
    }
    return false;
}

bool parse_ssd(const Context &context, const std::vector<Tensor> &tensors) {
    const Tensor *boxes = nullptr, *scores = nullptr;
    if (!pair(tensors, {context.classes, context.classes + 1}, boxes, scores)) {
        return refuse("SSD", "Nx4 and NxC, with or without a background", tensors);
    }
    const size_t columns = scores->dimension(1);
    const size_t background = columns - context.classes;
    for (size_t row = 0; row < scores->dimension(0); ++row) {
        size_t klass = 0;
        float score = 0.0f;
        if (best(*scores, row * columns + background, 1, context.classes, klass, score)) {
            const Tensor &b = *boxes;
            context.add(klass, score, b[row * 4] * context.width, b[row * 4 + 1] * context.height,
                        b[row * 4 + 2] * context.width, b[row * 4 + 3] * context.height);
        }
    }
    return true;
}

bool parse_finished_queries(const Context &context, const std::vector<Tensor> &tensors) {
    const Tensor *boxes = nullptr, *scores = nullptr, *classes = nullptr;
    for (const Tensor &tensor : tensors) {
        if (!tensor.is_readable()) {
            continue;
        }
        const int type = static_cast<int>(tensor.layer().dataType);
        if (tensor.dimensions() == 2 && tensor.dimension(1) == 4) {
            boxes = &tensor;
        } else if (tensor.dimensions() == 1 && type >= 3) {
            classes = &tensor;
        } else if (tensor.dimensions() == 1) {
            // Where both are floating-point numbers, the name tells them apart.
            const char *name = tensor.layer().layerName;
            const bool named = name && (std::strstr(name, "label") || std::strstr(name, "class"));
            (named && !classes ? classes : scores) = &tensor;
        }
    }
    if (!boxes || !scores || !classes || scores->dimension(0) != boxes->dimension(0) ||
        classes->dimension(0) != boxes->dimension(0)) {
        return refuse("Queries", "Qx4, Q scores and Q labels", tensors);
    }
    for (size_t row = 0; row < boxes->dimension(0); ++row) {
        const Tensor &b = *boxes;
        context.add(class_index((*classes)[row], context.classes), (*scores)[row], b[row * 4], b[row * 4 + 1],
                    b[row * 4 + 2], b[row * 4 + 3]);
    }
    return true;
}

bool parse_queries(const Context &context, const std::vector<Tensor> &tensors) {
    if (tensors.size() == 3) {
        return parse_finished_queries(context, tensors);
    }
    if (tensors.size() == 1) {
        const size_t columns = context.classes + 4;
        const Tensor *tensor = single(tensors, 2);
        if (!tensor || tensor->dimension(1) != columns) {
            return refuse("Queries", "Qx(4+C)", tensors);
        }
        const Tensor &t = *tensor;
        for (size_t row = 0; row < t.size(); row += columns) {
            size_t klass = 0;
            float score = 0.0f;
            if (best(t, row + 4, 1, context.classes, klass, score)) {
                context.add_centered(klass, score, t[row] * context.width, t[row + 1] * context.height,
                                     t[row + 2] * context.width, t[row + 3] * context.height);
            }
        }
        return true;
    }
    const Tensor *boxes = nullptr, *logits = nullptr;
    if (!pair(tensors, {context.classes}, boxes, logits)) {
        return refuse("Queries", "Qx4 and QxC", tensors);
    }
    for (size_t row = 0; row < boxes->dimension(0); ++row) {
        size_t klass = 0;
        float logit = 0.0f;
        if (best(*logits, row * context.classes, 1, context.classes, klass, logit) && std::isfinite(logit)) {
            const Tensor &b = *boxes;
            context.add_centered(klass, sigmoid(logit), b[row * 4] * context.width, b[row * 4 + 1] * context.height,
                                 b[row * 4 + 2] * context.width, b[row * 4 + 3] * context.height);
        }
    }
    return true;
}

bool parse_fastest_det(const Context &context, const std::vector<Tensor> &tensors) {
    const Tensor *tensor = single(tensors, 3);
    if (!tensor || tensor->dimension(0) != context.classes + 5 || tensor->dimension(1) * tensor->dimension(2) == 0) {
        return refuse("FastestDet", "(5+C)xHxW", tensors);
    }
    const Tensor &t = *tensor;
    const size_t lines = t.dimension(1), columns = t.dimension(2), cells = lines * columns;
    // A class probability is at most 1, so objectness alone must reach this.
    const float lowest = std::pow(std::max(context.lowest, 0.0f), 1.0f / 0.6f);
    for (size_t cell = 0; cell < cells; ++cell) {
        size_t klass = 0;
        float probability = 0.0f;
        if (!(t[cell] >= lowest) || !best(t, 5 * cells + cell, cells, context.classes, klass, probability)) {
            continue;
        }
        const float score = std::pow(t[cell], 0.6f) * std::pow(probability, 0.4f);
        const float column = static_cast<float>(cell % columns), line = static_cast<float>(cell / columns);
        context.add_centered(
            klass, score, (column + std::tanh(t[cells + cell])) / static_cast<float>(columns) * context.width,
            (line + std::tanh(t[2 * cells + cell])) / static_cast<float>(lines) * context.height,
            sigmoid(t[3 * cells + cell]) * context.width, sigmoid(t[4 * cells + cell]) * context.height);
    }
    return true;
}

} // namespace

// The functions that nvinfer finds by name. `read` is called with `what` and `tensors`.
#define VISION_PARSER(name, read)                                                                                      \
    extern "C" bool name(std::vector<NvDsInferLayerInfo> const &layers, NvDsInferNetworkInfo const &network,           \
                         NvDsInferParseDetectionParams const &params,                                                  \
                         std::vector<NvDsInferParseObjectInfo> &objects) {                                             \
        Context what{};                                                                                                \
        const std::vector<Tensor> tensors = outputs(layers);                                                           \
        return context(network, params, objects, what) && (read);                                                      \
    }

VISION_PARSER(VisionParseYoloV5, parse_yolo_v5(what, tensors, "YOLOv5"))
VISION_PARSER(VisionParseYoloXDecoded, parse_yolo_v5(what, tensors, "YOLOXDecoded"))
VISION_PARSER(VisionParseYoloV8, parse_yolo_v8(what, tensors))
VISION_PARSER(VisionParseYoloEndToEnd, parse_yolo_end_to_end(what, tensors))
VISION_PARSER(VisionParseYoloXRaw, parse_yolox_raw(what, tensors))
VISION_PARSER(VisionParseSsd, parse_ssd(what, tensors))
VISION_PARSER(VisionParseQueries, parse_queries(what, tensors))
VISION_PARSER(VisionParseFastestDet, parse_fastest_det(what, tensors))

// Size of what a function adds an element of: the program holds it against its table before nvinfer calls anything.
extern "C" unsigned int VisionParseObjectSize() { return sizeof(NvDsInferParseObjectInfo); }
