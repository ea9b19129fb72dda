// Reads an output of YOLOv8's layout: centre x, centre y, width, height, and a score per class, one column a box.
#include <vector>

#include "nvdsinfer_custom_impl.h"

extern "C" bool ParseYoloV8(std::vector<NvDsInferLayerInfo> const &layers, NvDsInferNetworkInfo const &network,
                            NvDsInferParseDetectionParams const &parameters,
                            std::vector<NvDsInferObjectDetectionInfo> &objects) {
  if (layers.size() != 1 || layers[0].inferDims.numDims != 2 || network.channels != 3) {
    return false;
  }
  unsigned const rows = layers[0].inferDims.d[0];
  unsigned const boxes = layers[0].inferDims.d[1];
  float const *values = static_cast<float const *>(layers[0].buffer);
  unsigned const classes = parameters.numClassesConfigured;
  if (rows != 4 + classes) {
    return false;
  }
  for (unsigned box = 0; box < boxes; ++box) {
    for (unsigned index = 0; index < classes; ++index) {
      float const score = values[(4 + index) * boxes + box];
      if (score < parameters.perClassPreclusterThreshold[index]) {
        continue;
      }
      NvDsInferObjectDetectionInfo object{};
      object.classId = index;
      object.width = values[2 * boxes + box];
      object.height = values[3 * boxes + box];
      object.left = values[box] - object.width / 2;
      object.top = values[boxes + box] - object.height / 2;
      object.detectionConfidence = score;
      objects.push_back(object);
    }
  }
  return true;
}

CHECK_CUSTOM_PARSE_FUNC_PROTOTYPE(ParseYoloV8);
