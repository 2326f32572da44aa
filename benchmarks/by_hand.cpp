// The training dynamics by hand in C++: what a program takes that does this one network and nothing else. float32.
//
// usage: by_hand ARRAYS THREADS MS ; the arrays are those that benchmarks/engines.py writes. Prints one line of JSON.
//
// Synapses lie by source and delay; a thread owns a range of target neurons and its own copy of their rows. Nothing is
// checked, recorded or read back: spikes are counted.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <string>
#include <vector>

#include <omp.h>

namespace
{
template <class T>
std::vector<T> load(const std::string& path)  // .npy, little-endian, C order
{
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "%s cannot be read\n", path.c_str());
    std::exit(2);
  }
  char head[10];
  file.read(head, 10);
  const std::size_t skip = 10 + std::uint8_t(head[8]) + 256 * std::uint8_t(head[9]);
  file.seekg(0, std::ios::end);
  std::vector<T> values((std::size_t(file.tellg()) - skip) / sizeof(T));
  file.seekg(skip);
  file.read(reinterpret_cast<char*>(values.data()), values.size() * sizeof(T));
  return values;
}

struct Entry {
  std::uint32_t place;  // neuron * 4 + receptor, within the thread
  float weight;
};

struct Table {
  std::vector<std::uint32_t> first;  // [source * n_delays + delay]
  std::vector<Entry> entries;
};

constexpr int n_delays = 8, n_slots = 8, n_receptors = 4;
}

int main(int argc, char** argv)
{
  if (argc != 4) {
    std::fprintf(stderr, "usage: by_hand ARRAYS THREADS MS\n");
    return 2;
  }
  const std::string folder = std::string(argv[1]) + "/";
  const int n_threads = std::atoi(argv[2]), n_steps = std::atoi(argv[3]);
  omp_set_num_threads(n_threads);
  const auto constants = load<float>(folder + "constants.npy"), start = load<float>(folder + "start.npy");
  const auto t_ref = load<float>(folder + "t_ref.npy"), background = load<float>(folder + "background.npy");
  const auto lgn_step = load<std::int32_t>(folder + "lgn_spike_step.npy");
  const auto lgn_source = load<std::int32_t>(folder + "lgn_spike_source.npy");
  const std::size_t n = start.size(), per_thread = (n + n_threads - 1) / n_threads;
  std::vector<Table> recurrent(n_threads), input(n_threads);
  for (const bool is_input : {false, true}) {
    const std::string name = folder + (is_input ? "lgn" : "recurrent");
    const auto pre = load<std::int32_t>(name + "_pre.npy"), target = load<std::int32_t>(name + "_target.npy");
    const auto weight = load<float>(name + "_weight.npy");
    const auto delay = load<std::uint8_t>(name + "_delay.npy");
    const std::size_t n_rows = std::size_t(load<std::int64_t>(name + "_fanout.npy").size()) * n_delays;
    for (int t = 0; t < n_threads; ++t) {
      Table& table = (is_input ? input : recurrent)[t];
      table.first.assign(n_rows + 1, 0);
      for (std::size_t i = 0; i < pre.size(); ++i)
        if (target[i] / n_receptors / per_thread == std::size_t(t)) {
          table.entries.push_back({std::uint32_t(target[i] - t * per_thread * n_receptors), weight[i]});
          ++table.first[std::size_t(pre[i]) * n_delays + delay[i] + 1];
        }
      for (std::size_t i = 0; i < n_rows; ++i) table.first[i + 1] += table.first[i];
    }
  }
  std::vector<std::vector<std::uint32_t>> fired(n_threads);
  std::size_t n_spikes = 0, n_events = 0;
  const auto wall = std::chrono::steady_clock::now();
  const std::clock_t cpu = std::clock();
#pragma omp parallel reduction(+ : n_spikes, n_events)
  {
    const int t = omp_get_thread_num();
    const std::size_t a = t * per_thread, m = std::min(n, a + per_thread) - a;
    std::vector<float> ring(n_slots * m * n_receptors), rise(m * n_receptors), psc(m * n_receptors);
    std::vector<float> v(start.begin() + a, start.begin() + a + m), r(m), asc_1(m), asc_2(m), z(m);
    std::size_t next = 0;
    for (int step = 0; step < n_steps; ++step) {
      float* const arriving = &ring[(step % n_slots) * m * n_receptors];
      for (; next < lgn_step.size() && lgn_step[next] == step; ++next) {
        const std::size_t row = std::size_t(lgn_source[next]) * n_delays;
        for (std::uint32_t k = input[t].first[row]; k < input[t].first[row + n_delays]; ++k, ++n_events)
          arriving[input[t].entries[k].place] += input[t].entries[k].weight;
      }
      fired[t].clear();
      for (std::size_t i = 0; i < m; ++i) {
        const float* c = &constants[(a + i) * 15];
        float current = asc_1[i] + asc_2[i];
        for (int k = 0; k < n_receptors; ++k) {
          const std::size_t j = i * n_receptors + k;
          current += psc[j];
          psc[j] = c[3 + k] * (psc[j] + rise[j]);
          rise[j] = c[3 + k] * rise[j] + (arriving[j] + background[(a + i) * n_receptors + k]) * c[7 + k];
          arriving[j] = 0;
        }
        asc_1[i] = c[11] * asc_1[i] + z[i] * c[13];
        asc_2[i] = c[12] * asc_2[i] + z[i] * c[14];
        r[i] = std::max(0.0f, r[i] + z[i] * t_ref[a + i] - 1.0f);
        v[i] = c[0] * v[i] + c[1] * current + z[i] * c[2];
        z[i] = v[i] > 1 && r[i] <= 0;
        if (z[i]) fired[t].push_back(a + i);
      }
      n_spikes += fired[t].size();
#pragma omp barrier
      for (const auto& part : fired)
        for (const std::uint32_t source : part)
          for (int delay = 1; delay < n_delays; ++delay) {
            float* const out = &ring[((step + delay) % n_slots) * m * n_receptors];
            const std::size_t row = std::size_t(source) * n_delays + delay;
            const std::uint32_t begin = recurrent[t].first[row], end = recurrent[t].first[row + 1];
            for (std::uint32_t k = begin; k < end; ++k)
              out[recurrent[t].entries[k].place] += recurrent[t].entries[k].weight;
            n_events += end - begin;
          }
#pragma omp barrier
    }
  }
  const double cpu_s = double(std::clock() - cpu) / CLOCKS_PER_SEC;
  const double wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - wall).count();
  std::printf("{\"simulate_cpu\": %.3f, \"simulate\": %.3f, \"spikes\": %zu, \"events\": %zu, \"ready_cpu\": %.2f}\n",
              cpu_s, wall_s, n_spikes, n_events, double(cpu) / CLOCKS_PER_SEC);
}
