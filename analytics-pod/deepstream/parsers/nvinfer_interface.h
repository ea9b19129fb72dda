// What nvinfer hands to a parser of outputs and takes from it, for builds without DeepStream's headers. The shapes are
// those of nvdsinfer.h and nvdsinfer_custom_impl.h; where these are on the include path they are used instead.
#pragma once

#include <vector>

typedef enum { FLOAT = 0, HALF = 1, INT8 = 2, INT32 = 3, INT64 = 4 } NvDsInferDataType;

typedef struct {
    unsigned int numDims;
    unsigned int d[8];
    unsigned int numElements;
} NvDsInferDims;

typedef struct {
    NvDsInferDataType dataType;
    NvDsInferDims inferDims;
    int bindingIndex;
    const char *layerName;
    void *buffer;
    int isInput;
} NvDsInferLayerInfo;

typedef struct {
    unsigned int width;
    unsigned int height;
    unsigned int channels;
} NvDsInferNetworkInfo;

typedef struct {
    unsigned int numClassesConfigured;
    std::vector<float> perClassPreclusterThreshold;
    std::vector<float> perClassPostclusterThreshold;
    std::vector<float> &perClassThreshold = perClassPreclusterThreshold;
} NvDsInferParseDetectionParams;

typedef struct {
    unsigned int classId;
    float left;
    float top;
    float width;
    float height;
    float detectionConfidence;
#ifdef VISION_DEEPSTREAM_9
    float rotation_angle;
#endif
} NvDsInferObjectDetectionInfo;

typedef NvDsInferObjectDetectionInfo NvDsInferParseObjectInfo;

static_assert(sizeof(NvDsInferLayerInfo) == 72, "NvDsInferLayerInfo");
static_assert(sizeof(NvDsInferNetworkInfo) == 12, "NvDsInferNetworkInfo");
