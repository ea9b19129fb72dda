/* What parsers of outputs need of DeepStream's header of this name, for the stand-in. */
#ifndef STANDIN_NVDSINFER_CUSTOM_IMPL_H
#define STANDIN_NVDSINFER_CUSTOM_IMPL_H

#include <vector>

#include "nvdsinfer.h"

typedef struct {
  unsigned int numClassesConfigured;
  std::vector<float> perClassPreclusterThreshold;
  std::vector<float> perClassPostclusterThreshold;
  std::vector<float> &perClassThreshold = perClassPreclusterThreshold;
} NvDsInferParseDetectionParams;

typedef bool (*NvDsInferParseCustomFunc)(std::vector<NvDsInferLayerInfo> const &outputLayersInfo,
                                         NvDsInferNetworkInfo const &networkInfo,
                                         NvDsInferParseDetectionParams const &detectionParams,
                                         std::vector<NvDsInferObjectDetectionInfo> &objectList);

/* Fails to compile where the function is of another type, and declares it with C linkage. */
#define CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(function)                                          \
  static NvDsInferParseCustomFunc const standin_check_##function = function;                 \
  static_assert(&standin_check_##function != nullptr, "parser of the wrong type")

#endif
