package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	"github.com/strongroom-kms/strongroom/e2e/devserver"
)

// kept is how many secrets the reads choose from.
const kept = 1000

// counters are the server's own: what it sent to PostgreSQL and to the token.
type counters struct{ sql, tokens float64 }

// measureProduct runs the scenarios that people quote.
func measureProduct(ctx context.Context, o options, d *devserver.Server) ([]result, error) {
	p := &product{keyManager: d.Env["KEY_MANAGER_URL"], admin: d.Env["STRONGROOM_ADMIN_URL"], payload: text(o.payload)}
	var err error
	if p.token, err = logIn(d.Env); err != nil {
		return nil, err
	}
	if err := p.fill(ctx); err != nil {
		return nil, err
	}
	var all []result
	for _, s := range []struct {
		name   string
		status int
		next   request
	}{
		{"read payload", http.StatusOK, p.read},
		{"read metadata", http.StatusOK, p.show},
		{"create with payload", http.StatusCreated, p.create},
		{"list first page", http.StatusOK, p.list},
	} {
		r, err := measured(ctx, o, s.name, []int{d.PID()}, p.count, s.status, s.next)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

type product struct {
	keyManager, admin, token string
	payload                  string
	refs                     []string
}

// text is a payload that base64 or JSON do not make longer.
func text(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(rand.IntN(26))
	}
	return string(b)
}

func (p *product) request(method, url, accept string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Auth-Token", p.token)
	req.Header.Set("Accept", accept)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

func (p *product) create(int) (*http.Request, error) {
	body := `{"name":"load","payload":"` + p.payload + `","payload_content_type":"text/plain"}`
	return p.request(http.MethodPost, p.keyManager+"/v1/secrets", "application/json", strings.NewReader(body))
}

func (p *product) read(int) (*http.Request, error) {
	return p.request(http.MethodGet, p.refs[rand.IntN(len(p.refs))]+"/payload", "text/plain", nil)
}

func (p *product) show(int) (*http.Request, error) {
	return p.request(http.MethodGet, p.refs[rand.IntN(len(p.refs))], "application/json", nil)
}

func (p *product) list(int) (*http.Request, error) {
	return p.request(http.MethodGet, p.keyManager+"/v1/secrets?limit=10", "application/json", nil)
}

// fill stores the secrets that the reads choose from.
func (p *product) fill(ctx context.Context) error {
	for range kept {
		req, err := p.create(0)
		if err != nil {
			return err
		}
		var made struct {
			Ref string `json:"secret_ref"`
		}
		if err := call(req.WithContext(ctx), http.StatusCreated, &made); err != nil {
			return fmt.Errorf("store a secret: %w", err)
		}
		p.refs = append(p.refs, made.Ref)
	}
	return nil
}

// count reads the server's own counters.
func (p *product) count() (c counters, err error) {
	resp, err := http.Get(p.admin + "/metrics")
	if err != nil {
		return c, err
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		n, _ := strconv.ParseFloat(value, 64)
		switch family, _, _ := strings.Cut(name, "{"); family {
		case "strongroom_sql_round_trips_total":
			c.sql += n
		case "strongroom_token_calls_total":
			c.tokens += n
		}
	}
	return c, nil
}

// logIn gets an access token the way the OpenStack clients do.
func logIn(env map[string]string) (string, error) {
	body, err := json.Marshal(map[string]any{"auth": map[string]any{
		"identity": map[string]any{
			"methods": []string{"password"},
			"password": map[string]any{"user": map[string]any{
				"name": env["OS_USERNAME"], "password": env["OS_PASSWORD"],
				"domain": map[string]any{"name": env["OS_USER_DOMAIN_NAME"]},
			}},
		},
		"scope": map[string]any{"project": map[string]any{
			"name": env["OS_PROJECT_NAME"], "domain": map[string]any{"name": env["OS_PROJECT_DOMAIN_NAME"]},
		}},
	}})
	if err != nil {
		return "", err
	}
	resp, err := http.Post(env["OS_AUTH_URL"]+"/auth/tokens", "application/json", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("log in: status %d", resp.StatusCode)
	}
	return resp.Header.Get("X-Subject-Token"), nil
}

func call(req *http.Request, status int, into any) error {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != status {
		return fmt.Errorf("status %d, want %d", resp.StatusCode, status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
