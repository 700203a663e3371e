package telemetry

import (
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const namespace = "strongroom"

// Metrics counts and times what the product does, in a registry of its own.
// Labels have a handful of values: never an identifier, a name or a project.
// All methods may be called concurrently.
type Metrics struct {
	registry *prometheus.Registry

	requests     *prometheus.CounterVec
	requestTime  *prometheus.HistogramVec
	tokenCalls   *prometheus.CounterVec
	tokenTime    *prometheus.HistogramVec
	sqlTime      *prometheus.HistogramVec
	sqlErrors    *prometheus.CounterVec
	syncTime     prometheus.Histogram
	syncRecords  prometheus.Counter
	syncFailures prometheus.Counter
	wrapLimits   *prometheus.CounterVec
	jobTime      *prometheus.HistogramVec
	notices      *prometheus.HistogramVec
}

// Seconds from a cached answer to what a client has given up on.
var latencies = []float64{
	.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10,
}

// NewMetrics returns metrics with nothing counted yet.
func NewMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.requests = m.counters("http", "requests_total", "Requests answered.", "listener", "route", "method", "code")
	m.requestTime = m.histograms("http", "request_seconds", "Time until the answer was written.", "listener", "route", "method")
	m.tokenCalls = m.counters("token", "calls_total", "Operations sent to a worker, by how they ended.", "group", "operation", "class")
	m.tokenTime = m.histograms("token", "call_seconds", "Time of one operation, waiting and retries included.", "group", "operation")
	m.sqlTime = m.histograms("sql", "statement_seconds", "Time of one round trip to the database.", "statement")
	m.sqlErrors = m.counters("sql", "errors_total", "Statements that failed, by kind of fault.", "statement", "kind")
	m.syncTime = prometheus.NewHistogram(options("journal", "sync_seconds", "Time to make a batch of audit records durable."))
	m.syncRecords = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: namespace, Subsystem: "journal", Name: "records_total", Help: "Audit records made durable.",
	})
	m.syncFailures = prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: namespace, Subsystem: "journal", Name: "sync_failures_total", Help: "Batches of audit records that were refused.",
	})
	m.registry.MustRegister(m.syncTime, m.syncRecords, m.syncFailures)
	m.wrapLimits = m.counters("kek", "wrap_limit_total", "Times that a KEK's wrap count met a limit.", "limit")
	m.jobTime = m.histograms("job", "run_seconds", "Time of one run of a background job, by how it ended.", "job", "outcome")
	m.notices = m.histograms("notification", "attempt_seconds", "Time of one attempt to deliver a notification, by what became of it.", "status")
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(),
	)
	return m
}

func (m *Metrics) counters(area, name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Subsystem: area, Name: name, Help: help,
	}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) histograms(area, name, help string, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(options(area, name, help), labels)
	m.registry.MustRegister(h)
	return h
}

func options(area, name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Namespace: namespace, Subsystem: area, Name: name, Help: help, Buckets: latencies,
	}
}

// buildInfo is always 1; its labels say what runs here.
func buildInfo() prometheus.Collector {
	labels := prometheus.Labels{"go": "unknown", "revision": "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		labels["go"] = info.GoVersion
		i := slices.IndexFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "vcs.revision" })
		if i >= 0 {
			labels["revision"] = info.Settings[i].Value
		}
	}
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "What runs here.", ConstLabels: labels,
	}, func() float64 { return 1 })
}

// Handler serves the metrics in Prometheus's text form.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Register adds a collector of the caller's, for values that are read when
// somebody looks. Like any wiring mistake, a name in use panics.
func (m *Metrics) Register(c prometheus.Collector) { m.registry.MustRegister(c) }

// Request counts one answered request. route is the pattern that matched, or
// "unmatched".
func (m *Metrics) Request(listener, route, method string, code int, took time.Duration) {
	method = knownMethod(method)
	m.requests.WithLabelValues(listener, route, method, strconv.Itoa(code)).Inc()
	m.requestTime.WithLabelValues(listener, route, method).Observe(took.Seconds())
}

// knownMethod keeps callers from making label values of their own.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
		http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// TokenCall counts one operation of a worker. class is "ok" or the class of
// the return code that settled it.
func (m *Metrics) TokenCall(group, operation, class string, took time.Duration) {
	m.tokenCalls.WithLabelValues(group, operation, class).Inc()
	m.tokenTime.WithLabelValues(group, operation).Observe(took.Seconds())
}

// Statement counts one round trip to the database. kind is empty for one that
// went well, else that of its fault.
func (m *Metrics) Statement(name, kind string, took time.Duration) {
	m.sqlTime.WithLabelValues(name).Observe(took.Seconds())
	if kind != "" {
		m.sqlErrors.WithLabelValues(name, kind).Inc()
	}
}

// JournalSync counts one batch of audit records; it is journal.Options.OnSync.
func (m *Metrics) JournalSync(records int, took time.Duration, err error) {
	m.syncTime.Observe(took.Seconds())
	if err != nil {
		m.syncFailures.Inc()
		return
	}
	m.syncRecords.Add(float64(records))
}

// WrapLimit counts that a KEK met its "soft" or "hard" limit of wraps.
func (m *Metrics) WrapLimit(limit string) { m.wrapLimits.WithLabelValues(limit).Inc() }

// Job counts one run of a background job.
func (m *Metrics) Job(name string, took time.Duration, err error) {
	outcome := "done"
	if err != nil {
		outcome = "failed"
	}
	m.jobTime.WithLabelValues(name, outcome).Observe(took.Seconds())
}

// Notification counts one attempt to deliver a notification. status is that of
// its record.
func (m *Metrics) Notification(status string, took time.Duration) {
	m.notices.WithLabelValues(status).Observe(took.Seconds())
}
