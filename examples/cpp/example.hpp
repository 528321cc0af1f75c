// What several examples share: their arguments, and the digits.
#ifndef EXAMPLE_HPP
#define EXAMPLE_HPP

#include <taper.hpp>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Options {
    bool quick = false; // --quick: a few steps only
    std::string path;   // of the picture
    Options(int argc, char **argv, std::string picture) : path(std::move(picture)) {
        for (int i = 1; i < argc; ++i)
            std::string(argv[i]) == "--quick" ? void(quick = true) : void(path = argv[i]);
    }
};

// The 1,438 small digits: float32 [1438, 8, 8] from 0 (paper) to 1 (ink).
inline taper::Tensor digits() {
    std::ifstream file("data/digits/train-images-idx3-ubyte", std::ios::binary);
    std::vector<uint8_t> pixels(1438 * 64);
    // 16 bytes of header, then a byte for each pixel, from 0 to 16.
    if (!file.seekg(16) || !file.read(reinterpret_cast<char *>(pixels.data()), 1438 * 64))
        throw std::runtime_error("cannot read data/digits (run from the root of the checkout)");
    return taper::from_data(pixels.data(), {1438, 8, 8}).to(taper::float32) / 16;
}

// Images [n, 1, 8, 8], each pixel four times as large, as a PNG file.
inline void save_digits(const taper::Tensor &images, const std::string &path) {
    taper::save_image(taper::nn::functional::interpolate(images, std::nullopt, 4.0), path, 16);
    std::printf("drawn: %s\n", path.c_str());
}

#endif
