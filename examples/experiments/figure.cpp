// SPDX-License-Identifier: Apache-2.0
#include "examples/experiments/figure.h"

#include <cmath>

#include "libpref/base/digest.h"
#include "libpref/base/error.h"

namespace pref::experiments {
namespace {

const Point& find(const Figure& figure, const std::string& curve, double parameter) {
  for (const Curve& c : figure.curves)
    if (c.name == curve)
      for (const Point& p : c.points)
        if (p.parameter == parameter) return p;
  fail(ErrorKind::internal, "experiments", "figure ", figure.name, " has no point ", parameter,
       " on curve \"", curve, "\".");
}

}  // namespace

MeanError mean_error(const std::vector<double>& values) {
  double sum = 0, squares = 0;
  int n = 0;
  for (const double v : values)
    if (std::isfinite(v)) sum += v, ++n;
  if (n == 0) return {std::nan(""), std::nan(""), 0};
  const double mean = sum / n;
  for (const double v : values)
    if (std::isfinite(v)) squares += (v - mean) * (v - mean);
  return {mean, n > 1 ? std::sqrt(squares / (n - 1) / n) : 0, n};
}

std::vector<double> difference(const std::vector<double>& a, const std::vector<double>& b) {
  require(a.size() == b.size(), ErrorKind::internal, "experiments",
          "a paired difference needs equal numbers of seeds, got ", a.size(), " and ", b.size());
  std::vector<double> out(a.size());
  for (size_t i = 0; i < a.size(); ++i) out[i] = a[i] - b[i];
  return out;
}

Point& Figure::point(const std::string& curve, double parameter) {
  Curve* of = nullptr;
  for (Curve& c : curves)
    if (c.name == curve) of = &c;
  if (!of) of = &curves.emplace_back(Curve{.name = curve, .analytic = curve == "analytic"});
  for (Point& p : of->points)
    if (p.parameter == parameter) return p;
  return of->points.emplace_back(Point{.parameter = parameter});
}

const std::vector<double>& Figure::y(const std::string& curve, double parameter) const {
  return find(*this, curve, parameter).y;
}

const std::vector<double>& Figure::x(const std::string& curve, double parameter) const {
  return find(*this, curve, parameter).x;
}

std::string figure_csv(const Figure& figure) {
  const std::string hash = fast_digest(figure.config.data(), figure.config.size()).substr(0, 12);
  std::string out = "figure,curve," + figure.parameter +
                    ",x,x_standard_error,y,y_standard_error,seeds,configuration\n";
  for (const Curve& curve : figure.curves)
    for (const Point& p : curve.points) {
      const MeanError x = p.x.empty() ? MeanError{p.parameter, 0, 0} : mean_error(p.x),
                      y = mean_error(p.y);
      out += figure.name + ',' + curve.name + ',' + json_value(p.parameter);
      for (const double v : {x.mean, x.error, y.mean, y.error}) out += ',' + json_value(v);
      out += ',' + std::to_string(y.n) + ',' + hash + '\n';
    }
  return out;
}

}  // namespace pref::experiments
