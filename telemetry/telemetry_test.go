package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/strongroom-kms/strongroom/hsm/key"
	"github.com/strongroom-kms/strongroom/telemetry"
)

func TestLogIsJSONAtTheLevelAsked(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, level, err := telemetry.NewLogger("warn", zapcore.AddSync(&out))
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud", zap.Duration("took", time.Second))
	level.SetLevel(zap.InfoLevel)
	log.Info("asked for")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines, want 2: %q", len(lines), lines)
	}
	var first map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
		t.Fatal(err)
	}
	if first["msg"] != "loud" || first["level"] != "warn" || first["took"] != "1s" {
		t.Errorf("the first line is %v", first)
	}
	if _, err := time.Parse(time.RFC3339Nano, first["time"].(string)); err != nil {
		t.Error(err)
	}
	if _, _, err := telemetry.NewLogger("shouting", zapcore.AddSync(&out)); err == nil {
		t.Error("an unknown level was accepted")
	}
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	if a, b := telemetry.NewRequestID(), telemetry.NewRequestID(); a == b || !form.MatchString(a) {
		t.Errorf("NewRequestID gave %q and %q", a, b)
	}
}

func scrape(m *telemetry.Metrics) string {
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestMetricsTellWhatHappened(t *testing.T) {
	t.Parallel()
	m := telemetry.NewMetrics()
	m.Request("csms", "/v1/{project_id}/secrets", "POST", 200, time.Millisecond)
	m.Request("csms", "unmatched", "BREW", 405, time.Millisecond)
	m.TokenCall("g1", "wrap", "ok", time.Millisecond)
	m.Statement("create secret", "", time.Millisecond)
	m.Statement("create secret", "unavailable", time.Millisecond)
	m.JournalSync(7, time.Millisecond, nil)
	m.JournalSync(3, time.Millisecond, errors.New("disk"))
	m.WrapLimit("soft")
	m.Job("purge", time.Second, nil)
	m.WatchTokens("g1", func() key.Status {
		return key.Status{Tokens: []key.TokenStatus{
			{Label: "a", Serial: "1", Usable: true, Breaker: "closed", Workers: 2, Respawns: 5},
			{Label: "a", Serial: "2", PINBlocked: true, Breaker: "open"},
		}}
	})
	m.WatchTokens("g2", func() key.Status {
		return key.Status{Tokens: []key.TokenStatus{{Label: "a", Serial: "1"}}}
	})
	got := scrape(m)
	for _, line := range []string{
		`strongroom_token_usable{group="g2",token="a 1"} 0`,
		`strongroom_http_requests_total{code="200",listener="csms",method="POST",route="/v1/{project_id}/secrets"} 1`,
		`strongroom_http_requests_total{code="405",listener="csms",method="other",route="unmatched"} 1`,
		`strongroom_http_request_seconds_count{listener="csms",method="POST",route="/v1/{project_id}/secrets"} 1`,
		`strongroom_token_calls_total{class="ok",group="g1",operation="wrap"} 1`,
		`strongroom_sql_statement_seconds_count{statement="create secret"} 2`,
		`strongroom_sql_errors_total{kind="unavailable",statement="create secret"} 1`,
		`strongroom_journal_records_total 7`,
		`strongroom_journal_sync_failures_total 1`,
		`strongroom_journal_sync_seconds_count 2`,
		`strongroom_kek_wrap_limit_total{limit="soft"} 1`,
		`strongroom_job_run_seconds_count{job="purge",outcome="done"} 1`,
		`strongroom_token_usable{group="g1",token="a 1"} 1`,
		`strongroom_token_usable{group="g1",token="a 2"} 0`,
		`strongroom_token_pin_blocked{group="g1",token="a 2"} 1`,
		`strongroom_token_breaker_open{group="g1",token="a 2"} 1`,
		`strongroom_worker_alive{group="g1",token="a 1"} 2`,
		`strongroom_worker_respawns_total{group="g1",token="a 1"} 5`,
	} {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	for _, name := range []string{"strongroom_build_info", "go_goroutines", "process_resident_memory_bytes"} {
		if !strings.Contains(got, "\n"+name) {
			t.Errorf("missing: %s", name)
		}
	}
}
