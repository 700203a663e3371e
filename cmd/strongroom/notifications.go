package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/strongroom-kms/strongroom/configs"
	"github.com/strongroom-kms/strongroom/event"
	"github.com/strongroom-kms/strongroom/event/deliver"
	"github.com/strongroom-kms/strongroom/jobs"
)

// buildEvents makes the service for events, and the courier with a sender for
// each target of the configuration.
func (p *parts) buildEvents() error {
	p.events = event.NewService(event.Deps{Store: p.db, Gate: p.gate, NewID: uuid.NewString, Most: p.cfg.CSMS.MaxEvents})
	senders := map[string]event.Sender{}
	for _, t := range p.cfg.CSMS.Notifications.Targets {
		s, err := p.sender(t)
		if err != nil {
			return configError{fmt.Errorf("csms.notifications: target %s: %w", t.ID, err)}
		}
		senders[t.ID] = s
	}
	p.courier = event.NewCourier(event.CourierDeps{
		Outbox: p.db, Senders: senders, Now: time.Now,
		NewID:    func() string { return uuid.Must(uuid.NewV7()).String() },
		RetryFor: p.cfg.CSMS.Notifications.RetryFor,
		Observe: func(n event.Notification, s event.Status, took time.Duration, why error) {
			p.metrics.Notification(string(s), took)
			if why != nil {
				p.log.Warn("a notification was not delivered", zap.String("id", n.ID), zap.String("target", n.Target.ID),
					zap.Int("attempt", n.Attempts), zap.String("status", string(s)), zap.Error(why))
			}
		},
	})
	return nil
}

func (p *parts) sender(t configs.Target) (event.Sender, error) {
	roots, err := t.Roots()
	if err != nil {
		return nil, err
	}
	if t.NATS.URL != "" {
		s := deliver.NewNATS(deliver.NATSConfig{
			URL: t.NATS.URL, Subject: t.NATS.Subject, CredentialsFile: t.NATS.CredentialsFile,
			Roots: roots, Allowed: t.AllowedNetworks, Timeout: t.Timeout,
		})
		p.down = append(p.down, func() error { s.Close(); return nil })
		return s, nil
	}
	secrets, err := t.Webhook.Secrets()
	if err != nil {
		return nil, err
	}
	defer secrets.Wipe()
	h, err := deliver.NewWebhook(deliver.WebhookConfig{
		URL: t.Webhook.URL, Secrets: secrets, Roots: roots, Allowed: t.AllowedNetworks, Timeout: t.Timeout,
	})
	if err != nil {
		return nil, err
	}
	p.down = append(p.down, func() error { h.Close(); return nil })
	return h, nil
}

// notificationJobs are each node's: rows are claimed one by one, so nodes
// share the work. A delivery may take longer than until the next is due: stop
// ends it.
func (p *parts) notificationJobs(stop context.Context) []jobs.Job {
	return []jobs.Job{
		{Name: "deliver-notifications", Every: p.cfg.CSMS.Notifications.DeliverEvery, Run: func(context.Context) error {
			if err := p.courier.Deliver(stop); !errors.Is(err, context.Canceled) {
				return err
			}
			return nil
		}},
		{Name: "tell-expiries", Every: p.cfg.CSMS.Notifications.ExpireEvery, Run: func(ctx context.Context) error {
			_, err := p.courier.Expire(ctx)
			return err
		}},
		{Name: "purge-notifications", Every: time.Hour, Run: func(ctx context.Context) error {
			_, err := p.courier.Purge(ctx)
			return err
		}},
	}
}
