// Lets tests call a parser with plain arrays. Not part of the library.
#if __has_include(<nvdsinfer_custom_impl.h>)
#include <nvdsinfer_custom_impl.h>
#else
#include "nvinfer_interface.h"
#endif

#include <cstddef>

extern "C" {

typedef bool (*Parser)(std::vector<NvDsInferLayerInfo> const &, NvDsInferNetworkInfo const &,
                       NvDsInferParseDetectionParams const &, std::vector<NvDsInferParseObjectInfo> &);

struct HarnessTensor {
    const char *name;
    int type;
    unsigned int dimensions;
    unsigned int shape[8];
    void *values;
};

// Calls `parser` and writes up to `capacity` objects, six numbers each (class, left, top, width, height, confidence).
// Returns how many there were, or -1 where the parser refused.
long harness_parse(void *parser, const HarnessTensor *tensors, size_t count, unsigned int width, unsigned int height,
                   const float *thresholds, unsigned int classes, float *out, size_t capacity) {
    std::vector<NvDsInferLayerInfo> layers;
    for (size_t index = 0; index < count; ++index) {
        NvDsInferLayerInfo layer{};
        layer.dataType = static_cast<NvDsInferDataType>(tensors[index].type);
        layer.inferDims.numDims = tensors[index].dimensions;
        layer.inferDims.numElements = 1;
        for (unsigned int at = 0; at < tensors[index].dimensions; ++at) {
            layer.inferDims.d[at] = tensors[index].shape[at];
            layer.inferDims.numElements *= tensors[index].shape[at];
        }
        layer.layerName = tensors[index].name;
        layer.buffer = tensors[index].values;
        layers.push_back(layer);
    }
    NvDsInferParseDetectionParams params{};
    params.numClassesConfigured = classes;
    params.perClassPreclusterThreshold.assign(thresholds, thresholds + classes);
    params.perClassPostclusterThreshold = params.perClassPreclusterThreshold;
    const NvDsInferNetworkInfo network{width, height, 3};
    std::vector<NvDsInferParseObjectInfo> objects;
    if (!reinterpret_cast<Parser>(parser)(layers, network, params, objects)) {
        return -1;
    }
    for (size_t index = 0; index < objects.size() && index < capacity; ++index) {
        const NvDsInferParseObjectInfo &object = objects[index];
        float *at = out + index * 6;
        at[0] = static_cast<float>(object.classId);
        at[1] = object.left;
        at[2] = object.top;
        at[3] = object.width;
        at[4] = object.height;
        at[5] = object.detectionConfidence;
    }
    return static_cast<long>(objects.size());
}
}
