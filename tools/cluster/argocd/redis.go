package main

import (
	"github.com/alicebob/miniredis/v2"
	"github.com/spf13/cobra"
)

// redisCommand is the cache that the parts of Argo CD share, in memory; it spares the tests a system service.
func redisCommand() *cobra.Command {
	return &cobra.Command{
		Use:  "argocd-redis ADDRESS",
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, arguments []string) error {
			if err := miniredis.NewMiniRedis().StartAddr(arguments[0]); err != nil {
				return err
			}
			<-command.Context().Done()
			return nil
		},
	}
}
