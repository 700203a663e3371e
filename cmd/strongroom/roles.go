package main

import (
	"context"
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
)

func roleCommand() *cobra.Command {
	o := &operator{}
	c := group("role", "Roles, and who has them where")
	o.flags(c)
	c.AddCommand(
		&cobra.Command{
			Use: "create NAME", Short: "Make a role", Args: oneArg("the role's name"),
			RunE: func(c *cobra.Command, args []string) error {
				return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
					_, err := r.CreateRole(ctx, who, realm.RoleChange{Name: &args[0]})
					return err
				})
			},
		},
		&cobra.Command{
			Use: "list", Short: "List roles", Args: noArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
					roles, err := r.Roles(ctx, who, "")
					if err != nil {
						return err
					}
					var rows [][]string
					for _, one := range roles {
						rows = append(rows, []string{string(one.ID), one.Name})
					}
					return o.print(c.OutOrStdout(), []string{"id", "name"}, rows)
				})
			},
		},
		assignCommand(o, "grant", "Give a user a role in a project", (*realm.Service).Assign),
		assignCommand(o, "revoke", "Take a role away", (*realm.Service).Unassign),
	)
	return c
}

func assignCommand(o *operator, name, short string, act func(*realm.Service, context.Context, auth.Principal, auth.Assignment) error) *cobra.Command {
	var user, project string
	c := &cobra.Command{
		Use: name + " ROLE --user USER --project PROJECT", Short: short, Args: oneArg("the role's name"),
		RunE: func(c *cobra.Command, args []string) error {
			if user == "" || project == "" {
				return usageError{errors.New("--user and --project are both needed")}
			}
			return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
				u, err := userNamed(ctx, r, who, user)
				if err != nil {
					return err
				}
				p, err := projectNamed(ctx, r, who, project)
				if err != nil {
					return err
				}
				role, err := roleNamed(ctx, r, who, args[0])
				if err != nil {
					return err
				}
				return act(r, ctx, who, auth.Assignment{Project: p.ID, User: u.ID, Role: role.ID})
			})
		},
	}
	c.Flags().StringVar(&user, "user", "", "the user's name")
	c.Flags().StringVar(&project, "project", "", "the project's name")
	return c
}

func credentialCommand() *cobra.Command {
	o := &operator{}
	c := group("credential", "Access keys (AK/SK)")
	o.flags(c)
	c.AddCommand(credentialCreateCommand(o), credentialListCommand(o), &cobra.Command{
		Use: "delete ACCESS-KEY", Short: "Delete an access key", Args: oneArg("the access key"),
		RunE: func(c *cobra.Command, args []string) error {
			return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
				return r.DeleteAccessKey(ctx, who, args[0])
			})
		},
	})
	return c
}

func credentialCreateCommand(o *operator) *cobra.Command {
	var user, project string
	c := &cobra.Command{
		Use: "create --user USER --project PROJECT", Short: "Make an access key and print its secret, once", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if user == "" || project == "" {
				return usageError{errors.New("--user and --project are both needed")}
			}
			return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
				u, err := userNamed(ctx, r, who, user)
				if err != nil {
					return err
				}
				p, err := projectNamed(ctx, r, who, project)
				if err != nil {
					return err
				}
				k, err := r.CreateAccessKey(ctx, who, realm.NewAccessKey{User: u.ID, Project: p.ID})
				if err != nil {
					return err
				}
				defer k.Secret.Wipe()
				return o.print(c.OutOrStdout(), []string{"access_key", "secret_key"},
					[][]string{{k.ID, string(k.Secret.Reveal())}})
			})
		},
	}
	c.Flags().StringVar(&user, "user", "", "the user's name")
	c.Flags().StringVar(&project, "project", "", "project that the key is for by default")
	return c
}

func credentialListCommand(o *operator) *cobra.Command {
	var user string
	c := &cobra.Command{
		Use: "list --user USER", Short: "List a user's access keys, without their secrets", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
				u, err := userNamed(ctx, r, who, user)
				if err != nil {
					return err
				}
				keys, err := r.AccessKeys(ctx, who, u.ID)
				if err != nil {
					return err
				}
				var rows [][]string
				for _, k := range keys {
					rows = append(rows, []string{k.ID, string(k.Project), strconv.FormatBool(k.Enabled)})
				}
				return o.print(c.OutOrStdout(), []string{"access_key", "project", "enabled"}, rows)
			})
		},
	}
	c.Flags().StringVar(&user, "user", "", "the user's name")
	return c
}
