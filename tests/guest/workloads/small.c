/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A bit of everything, to be built for 32 bits and run under other programs. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct node {
	struct node *left, *right;
	int value;
};

static struct node *grow(int depth)
{
	struct node *node = malloc(sizeof(*node));

	node->value = depth;
	node->left = depth ? grow(depth - 1) : NULL;
	node->right = depth ? grow(depth - 1) : NULL;
	return node;
}

static long fell(struct node *node)
{
	long sum = node ? node->value + fell(node->left) + fell(node->right) : 0;

	free(node);
	return sum;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long long count;

static void *add(void *unused)
{
	for (int i = 0; i < 20000; i++) {
		pthread_mutex_lock(&mutex);
		count += i;
		pthread_mutex_unlock(&mutex);
	}
	return unused;
}

int main(void)
{
	pthread_t thread[3];
	unsigned long long product = 1;
	long double factorial = 1;
	double sum = 0;

	printf("%ld\n", fell(grow(13)));
	for (int i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, add, NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	for (int i = 1; i < 200000; i++)
		sum += 1.0 / i;
	for (int i = 1; i < 50; i++)
		factorial *= i;
	for (int i = 0; i < 100000; i++)
		product = product * 6364136223846793005ull + (product >> 33) % 7;
	printf("%lld %.17g %.18Lg %llu %lld\n", count, sum, factorial, product,
	       (long long)product / 12345);
	return 0;
}
