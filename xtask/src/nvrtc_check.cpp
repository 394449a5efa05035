// Compiles kernels with NVRTC the way the engine does: the same text that nvcc gets, headers by
// name, nothing from the file system.
//
// nvrtc_check KERNELS FILE...   FILE below KERNELS; the exit code is 1 if one does not compile.

#include <nvrtc.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

static std::string read(const std::filesystem::path &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

static bool compiles(const std::string &name, const std::string &text,
                     const std::vector<std::string> &header_names,
                     const std::vector<std::string> &header_texts) {
  std::vector<const char *> names, texts;
  for (const auto &header : header_names) names.push_back(header.c_str());
  for (const auto &header : header_texts) texts.push_back(header.c_str());
  nvrtcProgram program;
  nvrtcResult result = nvrtcCreateProgram(&program, text.c_str(), name.c_str(), (int)names.size(),
                                          texts.data(), names.data());
  if (result == NVRTC_SUCCESS) {
    const char *options[] = {"--gpu-architecture=sm_90", "--std=c++17", "--device-int128",
                             "--fmad=false", "-default-device"};
    result = nvrtcCompileProgram(program, (int)std::size(options), options);
    size_t size = 0;
    nvrtcGetProgramLogSize(program, &size);
    std::string log(size, '\0');
    nvrtcGetProgramLog(program, log.data());
    if (size > 1) std::fprintf(stderr, "%s\n", log.c_str());
    nvrtcDestroyProgram(&program);
  }
  if (result != NVRTC_SUCCESS) {
    std::fprintf(stderr, "kernels/%s: %s\n", name.c_str(), nvrtcGetErrorString(result));
  }
  return result == NVRTC_SUCCESS;
}

int main(int count, char **arguments) {
  const std::filesystem::path root = arguments[1];
  std::vector<std::string> names, texts;
  for (const auto &entry : std::filesystem::recursive_directory_iterator(root)) {
    const auto extension = entry.path().extension();
    if (extension != ".h" && extension != ".cuh") continue;
    names.push_back(std::filesystem::relative(entry.path(), root).string());
    texts.push_back(read(entry.path()));
  }
  bool good = true;
  for (int index = 2; index < count; ++index) {
    good &= compiles(arguments[index], read(root / arguments[index]), names, texts);
  }
  return good ? 0 : 1;
}
