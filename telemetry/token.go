package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/strongroom-kms/strongroom/hsm/key"
)

// tokens reports what the status of a group says at the moment somebody looks.
type tokens struct {
	status                                      func() key.Status
	usable, pinBlocked, open, workers, respawns *prometheus.Desc
}

// WatchTokens adds the health of the tokens of a group. status must answer at
// once.
func (m *Metrics) WatchTokens(group string, status func() key.Status) {
	desc := func(area, name, help string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, area, name), help, []string{"token"}, prometheus.Labels{"group": group})
	}
	m.Register(&tokens{
		status:     status,
		usable:     desc("token", "usable", "1 while the token takes work."),
		pinBlocked: desc("token", "pin_blocked", "1 after a PIN was rejected, until an operator acts."),
		open:       desc("token", "breaker_open", "1 while the breaker lets nothing through."),
		workers:    desc("worker", "alive", "Worker processes that are running."),
		respawns:   desc("worker", "respawns_total", "Worker processes started in place of another."),
	})
}

// Describe implements prometheus.Collector.
func (t *tokens) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{t.usable, t.pinBlocked, t.open, t.workers, t.respawns} {
		out <- d
	}
}

// Collect implements prometheus.Collector. Tokens of one label, as in a group
// of clones, are told apart by serial number.
func (t *tokens) Collect(out chan<- prometheus.Metric) {
	for _, s := range t.status().Tokens {
		name := s.Label + " " + s.Serial
		for _, g := range []struct {
			desc  *prometheus.Desc
			kind  prometheus.ValueType
			value float64
		}{
			{t.usable, prometheus.GaugeValue, flag(s.Usable)},
			{t.pinBlocked, prometheus.GaugeValue, flag(s.PINBlocked)},
			{t.open, prometheus.GaugeValue, flag(s.Breaker == "open")},
			{t.workers, prometheus.GaugeValue, float64(s.Workers)},
			{t.respawns, prometheus.CounterValue, float64(s.Respawns)},
		} {
			out <- prometheus.MustNewConstMetric(g.desc, g.kind, g.value, name)
		}
	}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
