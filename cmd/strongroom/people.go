package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/strongroom-kms/strongroom/auth"
	"github.com/strongroom-kms/strongroom/auth/realm"
	"github.com/strongroom-kms/strongroom/tenant"
)

func userCommand() *cobra.Command {
	o := &operator{}
	c := group("user", "Users of the built-in identity")
	o.flags(c)
	var project, passwordFile string
	create := &cobra.Command{
		Use: "create NAME", Short: "Make a user", Args: oneArg("the user's name"),
		RunE: func(c *cobra.Command, args []string) error {
			secret, err := readPassword(passwordFile)
			if err != nil {
				return err
			}
			defer secret.Wipe()
			return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
				in := realm.UserChange{Name: &args[0], Password: &secret}
				if project != "" {
					p, err := projectNamed(ctx, r, who, project)
					if err != nil {
						return err
					}
					in.DefaultProject = &p.ID
				}
				u, err := r.CreateUser(ctx, who, in)
				if err != nil {
					return err
				}
				return o.print(c.OutOrStdout(), []string{"id", "name"}, [][]string{{string(u.ID), u.Name}})
			})
		},
	}
	create.Flags().StringVar(&project, "project", "", "project of a login that names none")
	create.Flags().StringVar(&passwordFile, "password-file", "", "file with the password, - for standard input")
	c.AddCommand(create, userListCommand(o), userSetCommand(o), userDeleteCommand(o))
	return c
}

func userListCommand(o *operator) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List users", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
				users, err := r.Users(ctx, who, realm.UserQuery{})
				if err != nil {
					return err
				}
				var rows [][]string
				for _, u := range users {
					rows = append(rows, []string{string(u.ID), u.Name, strconv.FormatBool(u.Enabled)})
				}
				return o.print(c.OutOrStdout(), []string{"id", "name", "enabled"}, rows)
			})
		},
	}
}

func userSetCommand(o *operator) *cobra.Command {
	var passwordFile string
	var enable, disable bool
	set := &cobra.Command{
		Use: "set NAME", Short: "Change a user's password, enable or disable one", Args: oneArg("the user's name"),
		RunE: func(c *cobra.Command, args []string) error {
			var in realm.UserChange
			if enable || disable {
				in.Enabled = &enable
			} else {
				secret, err := readPassword(passwordFile)
				if err != nil {
					return err
				}
				defer secret.Wipe()
				in.Password = &secret
			}
			return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
				u, err := userNamed(ctx, r, who, args[0])
				if err != nil {
					return err
				}
				_, err = r.UpdateUser(ctx, who, u.ID, in)
				return err
			})
		},
	}
	set.Flags().StringVar(&passwordFile, "password-file", "", "file with the new password, - for standard input")
	set.Flags().BoolVar(&enable, "enable", false, "let the user in")
	set.Flags().BoolVar(&disable, "disable", false, "let the user in no more; its access tokens end")
	set.MarkFlagsMutuallyExclusive("password-file", "enable", "disable")
	return set
}

func userDeleteCommand(o *operator) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a user with all its credentials", Args: oneArg("the user's name"),
		RunE: func(c *cobra.Command, args []string) error {
			return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
				u, err := userNamed(ctx, r, who, args[0])
				if err != nil {
					return err
				}
				return r.DeleteUser(ctx, who, u.ID)
			})
		},
	}
}

func projectCommand() *cobra.Command {
	o := &operator{}
	c := group("project", "Projects of the built-in identity")
	o.flags(c)
	c.AddCommand(
		&cobra.Command{
			Use: "create NAME", Short: "Make a project", Args: oneArg("the project's name"),
			RunE: func(c *cobra.Command, args []string) error {
				return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
					p, err := r.CreateProject(ctx, who, realm.ProjectChange{Name: &args[0]})
					if err != nil {
						return err
					}
					return o.print(c.OutOrStdout(), []string{"id", "name"}, [][]string{{string(p.ID), p.Name}})
				})
			},
		},
		&cobra.Command{
			Use: "list", Short: "List projects", Args: noArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
					projects, err := r.Projects(ctx, who, realm.ProjectQuery{})
					if err != nil {
						return err
					}
					var rows [][]string
					for _, p := range projects {
						rows = append(rows, []string{string(p.ID), p.Name, strconv.FormatBool(p.Enabled)})
					}
					return o.print(c.OutOrStdout(), []string{"id", "name", "enabled"}, rows)
				})
			},
		},
		&cobra.Command{
			Use: "delete NAME", Short: "Delete a project's identity; its secrets stay, unreachable", Args: oneArg("the project's name"),
			RunE: func(c *cobra.Command, args []string) error {
				return o.do(c, func(ctx context.Context, r *realm.Service, who auth.Principal) error {
					p, err := projectNamed(ctx, r, who, args[0])
					if err != nil {
						return err
					}
					return r.DeleteProject(ctx, who, p.ID)
				})
			},
		},
		projectPurgeCommand(o),
	)
	return c
}

func projectPurgeCommand(o *operator) *cobra.Command {
	var yes bool
	purge := &cobra.Command{
		Use: "purge ID --yes", Short: "Remove the secrets, containers and orders of a project that was deleted", Args: oneArg("the project's identifier"),
		RunE: func(c *cobra.Command, args []string) error {
			if !yes {
				return usageError{errors.New("nobody brings back what this removes: say --yes")}
			}
			return o.with(c, func(ctx context.Context, p *parts) error {
				return purgeProject(ctx, p, auth.ProjectID(args[0]), c.OutOrStdout())
			})
		},
	}
	purge.Flags().BoolVar(&yes, "yes", false, "it is meant")
	return purge
}

// purgeProject refuses a project that people still use, as far as the realm
// knows; it does not know those of a Keystone.
func purgeProject(ctx context.Context, p *parts, id auth.ProjectID, out io.Writer) error {
	there, err := p.realm.Projects(ctx, realm.Operator(), realm.ProjectQuery{})
	if err != nil {
		return err
	}
	for _, project := range there {
		if project.ID == id {
			return fmt.Errorf("there is a project %q with that identifier: delete it first", project.Name)
		}
	}
	n, err := tenant.NewService(p.gate, p.db).Purge(ctx, realm.Operator(), id)
	_, printed := fmt.Fprintf(out, "removed %d\n", n)
	return errors.Join(err, printed)
}
