package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// request makes the n-th request of a scenario.
type request func(n int) (*http.Request, error)

// result is what one scenario cost.
type result struct {
	name          string
	requests      int
	took          time.Duration
	p50, p99      time.Duration
	spent         cpu
	sql, tokens   float64 // per request; negative: not counted
	wantedStatus  int
	otherStatuses int
}

func (r result) perRequest() time.Duration {
	return time.Duration(float64(r.spent.total()) / float64(max(r.requests, 1)))
}

// loop has each of n connections send one request after the other until the
// time is over.
func loop(ctx context.Context, o options, status int, next request) (r result, err error) {
	transport := &http.Transport{MaxIdleConnsPerHost: o.connections, DisableCompression: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	var mu sync.Mutex
	var latencies []time.Duration
	var wait sync.WaitGroup
	r.wantedStatus = status
	start := time.Now()
	end := start.Add(o.duration)
	for c := range o.connections {
		wait.Go(func() {
			var mine []time.Duration
			other := 0
			var failed error
			for n := c; time.Now().Before(end) && ctx.Err() == nil; n += o.connections {
				req, err := next(n)
				if err != nil {
					failed = err
					break
				}
				sent := time.Now()
				resp, err := client.Do(req)
				if err != nil {
					failed = err
					break
				}
				_, err = io.Copy(io.Discard, resp.Body)
				if err := errors.Join(err, resp.Body.Close()); err != nil {
					failed = fmt.Errorf("read answer: %w", err)
					break
				}
				if resp.StatusCode != status {
					other++
				}
				mine = append(mine, time.Since(sent))
			}
			mu.Lock()
			defer mu.Unlock()
			latencies = append(latencies, mine...)
			r.otherStatuses += other
			if failed != nil {
				err = failed
			}
		})
	}
	wait.Wait()
	r.took = time.Since(start)
	slices.Sort(latencies)
	if r.requests = len(latencies); r.requests > 0 {
		r.p50, r.p99 = latencies[r.requests/2], latencies[r.requests*99/100]
	}
	return r, err
}

// measured runs a loop between two readings of CPU time and counters.
func measured(ctx context.Context, o options, name string, roots []int, count func() (counters, error), status int, next request) (result, error) {
	warm := o
	warm.duration = o.duration / 4
	if _, err := loop(ctx, warm, status, next); err != nil {
		return result{}, fmt.Errorf("%s: %w", name, err)
	}
	countBefore, err := count()
	if err != nil {
		return result{}, err
	}
	before, err := cpuOf(roots)
	if err != nil {
		return result{}, err
	}
	r, err := loop(ctx, o, status, next)
	if err != nil {
		return result{}, fmt.Errorf("%s: %w", name, err)
	}
	after, err := cpuOf(roots)
	if err != nil {
		return result{}, err
	}
	countAfter, err := count()
	if err != nil {
		return result{}, err
	}
	r.name = name
	r.spent = after.minus(before)
	n := float64(max(r.requests, 1))
	r.sql = (countAfter.sql - countBefore.sql) / n
	r.tokens = (countAfter.tokens - countBefore.tokens) / n
	return r, nil
}
