package e2e

import (
	"slices"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/keymanager/v1/acls"
	"github.com/gophercloud/gophercloud/v2/openstack/keymanager/v1/containers"
	"github.com/gophercloud/gophercloud/v2/openstack/keymanager/v1/secrets"
)

func TestGophercloudContainers(t *testing.T) {
	s, ctx := server(t), t.Context()
	client := gopher(t, s, "alice", "alice-password", "alpha")
	left, right := storeText(t, client, "left", "l"), storeText(t, client, "right", "r")

	made, err := containers.Create(ctx, client, containers.CreateOpts{
		Type: containers.GenericContainer, Name: "gopher", SecretRefs: []containers.SecretRef{{Name: "left", SecretRef: left}},
	}).Extract()
	if err != nil {
		t.Fatal(err)
	}
	id := last(made.ContainerRef)
	read := func(want ...containers.SecretRef) *containers.Container {
		t.Helper()
		c, err := containers.Get(ctx, client, id).Extract()
		if err != nil {
			t.Fatal(err)
		}
		if c.Name != "gopher" || c.Type != "generic" || c.Status != "ACTIVE" || c.ContainerRef != made.ContainerRef ||
			c.CreatorID == "" || c.Created.IsZero() || c.Updated.IsZero() || !slices.Equal(c.SecretRefs, want) {
			t.Errorf("read back as %+v", c)
		}
		return c
	}
	read(containers.SecretRef{Name: "left", SecretRef: left})

	second := containers.SecretRef{Name: "right", SecretRef: right}
	if _, err := containers.CreateSecretRef(ctx, client, id, second).Extract(); err != nil {
		t.Fatal(err)
	}
	if _, err := containers.CreateSecretRef(ctx, client, id, second).Extract(); !gophercloud.ResponseCodeIs(err, 409) {
		t.Errorf("the same part twice: %v", err)
	}
	read(containers.SecretRef{Name: "left", SecretRef: left}, second)
	if err := containers.DeleteSecretRef(ctx, client, id, containers.SecretRef{Name: "left", SecretRef: left}).ExtractErr(); err != nil {
		t.Error(err)
	}
	read(second)

	consumer := containers.CreateConsumerOpts{Name: "balancer", URL: "https://lb.test/1"}
	if c, err := containers.CreateConsumer(ctx, client, id, consumer).Extract(); err != nil || len(c.Consumers) != 1 || c.Consumers[0] != (containers.ConsumerRef{Name: "balancer", URL: "https://lb.test/1"}) {
		t.Errorf("registered %+v, %v", c, err)
	}
	consumer.Name = "another"
	if c, err := containers.CreateConsumer(ctx, client, id, consumer).Extract(); err != nil || len(c.Consumers) != 2 {
		t.Errorf("registered %+v, %v", c, err)
	}
	pages, err := containers.ListConsumers(client, id, containers.ListOpts{Limit: 1}).AllPages(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := containers.ExtractConsumers(pages); err != nil || len(all) != 2 || all[0].Name != "another" || all[1].URL != "https://lb.test/1" {
		t.Errorf("consumers %+v, %v", all, err)
	}
	if c, err := containers.DeleteConsumer(ctx, client, id, containers.DeleteConsumerOpts(consumer)).Extract(); err != nil || len(c.Consumers) != 1 {
		t.Errorf("left %+v, %v", c, err)
	}

	pages, err = containers.List(client, containers.ListOpts{Name: "gopher", Limit: 1}).AllPages(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := containers.ExtractContainers(pages); err != nil || len(all) != 1 || all[0].ContainerRef != made.ContainerRef {
		t.Errorf("listed %+v, %v", all, err)
	}
	gopherShares(t, func(c *gophercloud.ServiceClient) error { return containers.Get(ctx, c, id).Err }, aclCalls{
		get: func(c *gophercloud.ServiceClient) (*acls.ACL, error) {
			return acls.GetContainerACL(ctx, c, id).Extract()
		},
		set: func(c *gophercloud.ServiceClient, o acls.SetOpts) error {
			return acls.SetContainerACL(ctx, c, id, o).Err
		},
		update: func(c *gophercloud.ServiceClient, o acls.SetOpts) error {
			return acls.UpdateContainerACL(ctx, c, id, o).Err
		},
		remove: func(c *gophercloud.ServiceClient) error { return acls.DeleteContainerACL(ctx, c, id).ExtractErr() },
	})

	if err := containers.Delete(ctx, client, id).ExtractErr(); err != nil {
		t.Error(err)
	}
	if err := containers.Get(ctx, client, id).Err; !gophercloud.ResponseCodeIs(err, 404) {
		t.Errorf("after the delete: %v", err)
	}
	if err := secrets.Get(ctx, client, last(right)).Err; err != nil {
		t.Errorf("a part went with its container: %v", err)
	}
}
