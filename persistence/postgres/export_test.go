package postgres

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/container"
	"github.com/strongroom-kms/strongroom/order"
	"github.com/strongroom-kms/strongroom/secret"
)

// Texts are the statements that requests run, by a name of their shape.
func Texts() map[string]string {
	texts := map[string]string{
		"create": createText, "create sealed": createSealedText,
		"list named": listNamedAllText, "list named by event": listNamedEventText,
		"change quota": changeQuotaText, "add metadatum": addMetadatumText, "replace metadata": replaceMetadataText,
		"create container": createContainerText, "delete container": deleteContainerText,
		"add entry": addEntryText, "remove entry": removeEntryText,
		"put container acl": putContainerACLText, "drop container acl": dropContainerACLText,
		"add container consumer": addContainerConsumerText, "remove container consumer": removeContainerConsumerText,
		"list container consumers": listContainerConsumersText, "find container consumer": findContainerConsumerText,
	}
	for name, text := range map[string]string{
		"create order": createOrderText, "create order sealed": createOrderSealedText, "find order": findOrderText,
		"delete order": deleteOrderText, "claim order": claimOrderText, "fail order": failOrderText, "release order": releaseOrderText,
	} {
		texts[name] = text
	}
	for shape, text := range completeTexts {
		texts[fmt.Sprintf("complete order %+v", shape)] = text
	}
	for name, q := range map[string]order.Query{"list orders": {Limit: 10}, "list orders by word": {Limit: 10, Word: "aes"}} {
		_, page := orderBuilders("p", q)
		texts[name], _ = page.Build()
	}
	for within, byWant := range findContainerTexts {
		for contents, text := range byWant {
			texts[fmt.Sprintf("find container %v %v", within, contents)] = text
		}
	}
	for name, q := range map[string]container.Query{
		"list containers": {Limit: 10}, "list containers by name": {Limit: 10, Name: "a%", Type: "rsa"},
	} {
		_, page := containerBuilders("p", q)
		texts[name], _ = page.Build()
	}
	texts["tags of a project"] = projectTagsText
	for byTags, text := range pageTaggedTexts {
		texts[fmt.Sprintf("page of tagged %v", byTags)] = text
		texts[fmt.Sprintf("count of tagged %v", byTags)] = countTaggedTexts[byTags]
	}
	for shape, text := range findTexts {
		texts[fmt.Sprintf("find %+v", shape)] = text
	}
	for shape, text := range applyTexts {
		texts[fmt.Sprintf("apply %+v", shape)] = text
	}
	for name, text := range map[string]string{
		"register": registerText, "unregister": unregisterText, "consumers": consumersPageText, "consumers of a page": listConsumersText,
		"delete": deleteAnyTexts[false], "delete and tell": deleteAnyTexts[true],
		"delete unused": deleteUnusedTexts[false], "delete unused and tell": deleteUnusedTexts[true],
		"create told": createToldText, "create event": createEventText, "find event": findEventText,
		"list events": listEventsText, "update event": updateEventText, "delete event": deleteEventText,
		"list notifications": listNotificationsText, "claim notifications": claimNotificationsText, "conclude": concludeText,
		"fire expired": fireExpiredText, "purge notifications": purgeNotificationsText, "fire": fireText,
	} {
		texts[name] = text
	}
	for name, text := range map[string]string{
		"ended": endedText, "purge": purgeText, "claim": claimText,
		"tally look": tallyLookText("secrets"), "tally": tallyText("secrets"), "sum tallies": sumText("secrets"),
		"tally look of containers": tallyLookText("containers"), "tally containers": tallyText("containers"),
	} {
		texts[name] = text
	}
	for name, q := range map[string]secret.Query{
		"list": {Limit: 10}, "list by name": {Limit: 10, Name: "a%"},
		"list backwards":      {Limit: 10, Sort: []secret.Order{{By: secret.ByCreated, Descending: true}}},
		"list in names order": {Limit: 10, Sort: []secret.Order{{By: secret.ByName}}},
		"list one name":       {Limit: 10, Name: "a"},
		"list by update":      {Limit: 10, Sort: []secret.Order{{By: secret.ByUpdated}}},
		"list by algorithm":   {Limit: 10, Algorithm: "aes"},
	} {
		_, page, err := listBuilders(q, ofProject("p", q, time.Now()))
		if err != nil {
			panic(err)
		}
		texts[name], _ = page.Build()
	}
	for name, p := range map[string]auth.ProjectID{"list shared": "", "list shared within": "p"} {
		_, page, err := listBuilders(secret.Query{Limit: 10}, sharedWith("u", p, time.Now()))
		if err != nil {
			panic(err)
		}
		texts[name], _ = page.Build()
	}
	return texts
}

// NamesOf lists the names of texts in order.
func NamesOf(texts map[string]string) []string { return slices.Sorted(maps.Keys(texts)) }

// Pool lends the connections, with the settings that they have.
func (db *DB) Pool() *sql.DB { return db.pool }
