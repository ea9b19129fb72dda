// Finds one object in every picture.
#include <vector>

#include "nvdsinfer_custom_impl.h"

extern "C" bool ParseOneObject(std::vector<NvDsInferLayerInfo> const &, NvDsInferNetworkInfo const &,
                               NvDsInferParseDetectionParams const &,
                               std::vector<NvDsInferObjectDetectionInfo> &objects) {
  NvDsInferObjectDetectionInfo object{};
  object.width = 10;
  object.height = 10;
  object.detectionConfidence = 0.9f;
  objects.push_back(object);
  return true;
}

CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(ParseOneObject);
